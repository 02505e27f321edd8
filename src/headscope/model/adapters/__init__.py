"""Families that compute their attention themselves, brought to call headscope's function for it."""
