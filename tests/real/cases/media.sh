# ffmpeg and x264/x265, sox, qemu-img: threads that compute.
set -u
ffmpeg -v error -f lavfi -i testsrc=d=2:s=640x360:r=25 -f lavfi -i sine=d=2 -c:v libx264 -threads 4 -c:a aac -bitexact -y a.mp4; echo $?
ffmpeg -v error -threads 4 -i a.mp4 -f framemd5 - | sha256sum; ffmpeg -v error -i a.mp4 -vf scale=320:180 -filter_threads 4 -c:v libx265 -x265-params log-level=none:pools=4 -y b.mkv; echo $?; ffprobe -v error -show_entries stream=codec_name,nb_frames a.mp4
sox -n -r 44100 t.wav synth 2 sine 440; sox --multi-threaded t.wav u.wav rate 48000 reverb 2>/dev/null; sox u.wav -n stat 2>&1 | grep -E "Samples|RMS.*amp"
qemu-img create -q -f raw a.raw 20M; dd if=/dev/urandom of=a.raw bs=1M count=5 conv=notrunc status=none; qemu-img convert -m 8 -W -O qcow2 -c a.raw a.qcow2; echo $?; qemu-img compare a.raw a.qcow2; qemu-img convert -O raw a.qcow2 b.raw; cmp a.raw b.raw; echo $?; qemu-img check -q a.qcow2; echo $?; qemu-img bench -c 500 -d 32 -f qcow2 a.qcow2 2>&1 | grep -c Run
