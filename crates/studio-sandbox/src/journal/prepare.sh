# $1 directory of the run. Exit 71: started before.
s_dir=$1
if [ -d "$s_dir/claim" ]; then exit 71; fi
mkdir -p "$s_dir/spool" "$s_dir/taken" "$s_dir/done"
