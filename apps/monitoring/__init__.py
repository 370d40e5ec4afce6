"""What happened, counted: stored counts that every process adds to and every scrape agrees on."""
