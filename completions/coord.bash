# Completions of coord for bash. The program itself is asked at every Tab, so that this file cannot go stale.
eval "$(COORD_COMPLETE=bash coord 2>/dev/null)"
