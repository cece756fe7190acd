"""What a fault and load rig is made of: audio that names itself, a provider, a judge, a report."""
