"""Knowledge of source code: languages, syntax, indentation."""
