"""What callers say for dates, times, amounts and choices, and how it is said back."""
