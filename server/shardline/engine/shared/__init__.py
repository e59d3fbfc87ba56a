"""An engine process that all of a user's language servers share."""
