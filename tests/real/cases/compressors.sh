# Compressors with threads; what they pack, they unpack.
set -u
seq -f '%09g some text to pack' 1 300000 >a
sha256sum <a
for packer in 'pigz -p4' 'pbzip2 -p4' 'xz -T4 -1 --block-size=1000000' 'zstd -T4 -q'; do
  $packer -c <a >packed
  echo "$packer: $?"
  ${packer%% *} -dc <packed | sha256sum
  # With a file, they also split and write in parallel.
  rm -f a.*
  $packer -k a && ${packer%% *} -t a.?* 2>&1
  echo "tested: $?"
done
seq 200000 | shuf --random-source=a | sort -S 2M --parallel=8 -n | sha256sum
