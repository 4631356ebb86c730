"""What is not looked at where it is not."""

from pathlib import Path

# A source distribution has neither workflows nor forms.
ONLY_IN_A_CHECKOUT = ["test_contributing.py", "test_workflows.py"]
collect_ignore = [] if (Path(__file__).parents[2] / ".github").exists() else ONLY_IN_A_CHECKOUT
