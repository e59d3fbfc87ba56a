"""What is known of source code: languages, syntax, indentation."""
