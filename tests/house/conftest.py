"""What is not looked at where it is not."""

from pathlib import Path

# A source distribution has no workflows.
collect_ignore = [] if (Path(__file__).parents[2] / ".github").exists() else ["test_workflows.py"]
