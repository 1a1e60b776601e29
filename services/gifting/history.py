"""What people have given, got, claimed and asked for lately: what limits are counted from."""
