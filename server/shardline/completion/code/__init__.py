"""Syntax, languages and indentation of source code."""
