# In namespaces of its own: mounts what systemd needs as PID 1, and what is ours to write to; then systemd itself.
# $1: a folder for the outcome; $2: the script that it runs as root; $3…: what the service must see of this installation.
set -e
folder=$1 script=$2
shift 2
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /mnt
# Control groups as they look from here; where there are several hierarchies, those of limits stay as they are.
if [ -d /sys/fs/cgroup/systemd ]; then
    mount -t tmpfs tmpfs /sys/fs/cgroup
    mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
    mount -o remount,ro /sys/fs/cgroup  # or systemd would mount them
else
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
for place in etc var/lib; do
    mkdir -p "/mnt/$place/changes" "/mnt/$place/work"
    mount -t overlay overlay -o "lowerdir=/$place,upperdir=/mnt/$place/changes,workdir=/mnt/$place/work" "/$place"
done
mount -t tmpfs tmpfs /run -o mode=755
mount -t tmpfs tmpfs /dev -o mode=755
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
    IFS=: read -r name major minor <<<"$node"
    mknod -m 666 "/dev/$name" c "$major" "$minor"
done
mkdir /dev/shm /dev/pts /dev/mqueue
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts -o newinstance,ptmxmode=0666
mount -t mqueue mqueue /dev/mqueue
ln -s pts/ptmx /dev/ptmx
ln -s /proc/self/fd /dev/fd
mount --bind /proc/sys /proc/sys
mount -o remount,ro,bind /proc/sys
ip link set lo up
mount --make-rshared /

units=/run/units
mkdir -p $units /etc/systemd/system/smtprelay.service.d
cp /lib/systemd/system/systemd-journald{.service,.socket,-dev-log.socket} $units
for target in basic sysinit sockets network-online nss-lookup time-sync multi-user shutdown umount final; do
    printf '[Unit]\nDefaultDependencies=no\n' >"$units/$target.target"
done
cat >$units/operator.service <<E
[Unit]
DefaultDependencies=no
Requires=systemd-journald.socket systemd-journald.service
After=systemd-journald.socket systemd-journald.service
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
Environment="PATH=$PATH" HOME=/root
ExecStart=/bin/bash $script
StandardInput=null
StandardOutput=append:$folder/output
StandardError=append:$folder/output
E
# The rest of the unit is as it is installed.
cat >/etc/systemd/system/smtprelay.service.d/checkout.conf <<E
[Service]
ProtectHome=tmpfs
BindReadOnlyPaths=$*
E
export SYSTEMD_UNIT_PATH=$units:/etc/systemd/system container=test
exec /lib/systemd/systemd --system --unit=operator.service --log-target=null --show-status=no
