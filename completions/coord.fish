# Completions of coord for fish. The program itself is asked at every Tab, so that this file cannot go stale.
COORD_COMPLETE=fish coord 2>/dev/null | source
