"""An encoder whose heads can be watched and switched off; the only package that knows
transformers.
"""
