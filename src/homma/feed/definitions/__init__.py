"""Feed definitions: how records of other systems become ticks."""
