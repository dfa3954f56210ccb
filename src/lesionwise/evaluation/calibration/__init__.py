"""From raw outputs to probabilities, prediction sets and operating points, and how good these are."""
