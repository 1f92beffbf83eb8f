# Gives git a name to commit under, unless it has one.
git config user.name >/dev/null || git config --global user.name 'Agent Studio' || exit 1
git config user.email >/dev/null || git config --global user.email 'agent@studio.invalid'
