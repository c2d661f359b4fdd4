# Completions of coord for PowerShell. The program itself is asked at every Tab, so that this file cannot go stale.
$env:COORD_COMPLETE = 'powershell'
coord | Out-String | Invoke-Expression
Remove-Item Env:\COORD_COMPLETE
