"""What the example bots need beside the bot: a customer system and a calendar to act upon."""
