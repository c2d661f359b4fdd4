# Completions of coord for elvish. The program itself is asked at every Tab, so that this file cannot go stale.
eval (env COORD_COMPLETE=elvish coord | slurp)
