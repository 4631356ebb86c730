"""What a failure is and what follows: issues, hints, rules, retries."""
