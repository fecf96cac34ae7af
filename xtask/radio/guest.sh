#!/bin/sh
# What runs in the guest: the kernel's own Bluetooth with virtual controllers and a real bluetoothd, its
# Wi-Fi with simulated radios and real wpa_supplicants, and the tests. The host's root is below,
# read-only; `tools` holds what the host does not have installed.
word() { tr ' ' '\n' </proc/cmdline | sed -n "s/^$1=//p"; }
up() { awk '{print $1}' /proc/uptime; }
finish() {
    [ "$1" = 0 ] || for log in /run/*.log; do tail -n 20 "$log"; done
    [ "$1" = 0 ] || { ls -l /sys/class/bluetooth; dmesg | tail -n 15; }
    echo "RADIO-END $1 $(up)"
    echo o >/proc/sysrq-trigger
    # No program can be started from here on, and the first process must not end.
    while :; do :; done
}

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /run
tools=$(word tools)
export HOME=/run TMPDIR=/run
export LD_LIBRARY_PATH="$tools/usr/lib/x86_64-linux-gnu:$tools/lib/x86_64-linux-gnu"
export PATH="/run/bin:/usr/sbin:/usr/bin:/sbin:/bin:$tools/usr/bin:$tools/usr/sbin:$tools/sbin"
mkdir -p /run/bin /run/dbus /run/lock
ip link set lo up

# The guest's modules lie among the tools, and the kernel asks for some of them by itself.
ln -s "$tools/bin/kmod" /run/bin/modprobe
cat >/run/bin/load <<LOAD
#!/bin/sh
export LD_LIBRARY_PATH="$LD_LIBRARY_PATH"
exec /run/bin/modprobe -d "$tools" "\$@"
LOAD
chmod +x /run/bin/load
echo /run/bin/load >/proc/sys/kernel/modprobe
load -a hci_vhci algif_hash algif_skcipher ecb cmac || finish modules
echo "guest up $(up) $(uname -r)"

# A system bus with bluetoothd's own policy, and this project's.
cat >/run/dbus/bus.conf <<BUS
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <include>$tools/etc/dbus-1/system.d/bluetooth.conf</include>
  <include>$tools/etc/dbus-1/system.d/wpa_supplicant.conf</include>
  <include>$(word packaging)/dbus/bitcraps-bluetooth.conf</include>
  <include>$(word packaging)/dbus/bitcraps-wifi-direct.conf</include>
</busconfig>
BUS
dbus-daemon --config-file=/run/dbus/bus.conf --fork || finish bus
# The first start loads what the emulator asks the kernel for, and a controller that is not served for
# two seconds meanwhile is given up; the second start finds everything there.
emulate() {
    btvirt -L -l2 >/run/btvirt.log 2>&1 &
    emulator=$!
    for _ in $(seq 100); do
        [ -e /sys/class/bluetooth/hci1 ] && break
        sleep 0.1
    done
    sleep 3
}
emulate
kill "$emulator"
wait "$emulator"
emulate
[ -e /sys/class/bluetooth/hci1 ] || finish controllers
echo "controllers up $(up)"
mkdir -p /run/bluetooth
mount -t tmpfs tmpfs /var/lib 2>/dev/null && mkdir -p /var/lib/bluetooth
# One channel for attributes, as the README says. With more (EATT, its default), bluetoothd 5.66 and the
# kernel disagree on numbers of channels, those of others are refused, and it runs in circles for half a minute.
printf '[GATT]\nChannels = 1\n' >/run/main.conf
export BLUETOOTHD=/run/bin/configured-bluetoothd
printf '#!/bin/sh\nexec %s -f /run/main.conf "$@"\n' "$tools/usr/libexec/bluetooth/bluetoothd" >"$BLUETOOTHD"
chmod +x "$BLUETOOTHD"
"$BLUETOOTHD" -n >/run/bluetoothd.log 2>&1 &
adapters() {
    timeout 10 dbus-send --system --print-reply --dest=org.bluez / \
        org.freedesktop.DBus.ObjectManager.GetManagedObjects 2>&1 | grep -c 'org.bluez.Adapter1'
}
for _ in $(seq 60); do
    [ "$(adapters)" -ge 2 ] && break
    sleep 0.5
done
echo "bluetoothd up $(up), $(adapters) adapters"
for adapter in 0 1; do
    dbus-send --system --print-reply --dest=org.bluez "/org/bluez/hci$adapter" \
        org.freedesktop.DBus.Properties.Set string:org.bluez.Adapter1 string:Powered \
        variant:boolean:true >/dev/null || finish power
done

. "$(dirname "$(word guest)")/wifi.sh"

cd /run || finish run
BITCRAPS=$(word bitcraps)
export BITCRAPS
code=0
passes() {
    timeout "$@" --nocapture --test-threads=1 || code=$?
}
if [ "$(word play)" = demo ]; then
    passes 300 "$(word cli)" --ignored radio::direct::a_relay radio::direct::nodes_with
    finish $code
fi
passes 90 "$(word wifi)"
passes 390 "$(word bluetooth)"
# Kills bluetoothd in the end.
passes 300 "$(word cli)" --ignored radio::
finish $code
