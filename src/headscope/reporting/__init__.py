"""Run folders -> sentences, charts and one offline HTML file. `build.build` is the door; nothing is
recomputed here.
"""
