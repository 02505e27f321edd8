"""Tables to charts: heat maps, effects, the paper's figures."""
