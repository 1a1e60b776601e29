"""Tasks: partners, campaigns, what is earned by completions, packs and pools."""
