"""What is known of techniques before anything is measured: data with its source, and variants worth a thought."""
