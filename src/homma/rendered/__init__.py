"""What `deploy/` holds that follows from the code's own tables, as texts. Pure."""
