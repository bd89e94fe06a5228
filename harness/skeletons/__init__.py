"""What `bigfive new adapter` copies: code that runs, so that what is told in it cannot become untrue."""
