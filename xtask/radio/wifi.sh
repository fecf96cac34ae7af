# Two radios of the kernel's simulator, which hear each other, and a real wpa_supplicant for each. Their
# name on a bus is fixed, so that the second one has a bus of its own, as another machine would. Both
# are in one network namespace: Bluetooth's sockets exist in the first one only, and nodes have both.
# Sourced by guest.sh, whose functions it uses.
load mac80211_hwsim radios=2 || finish radios
for module in ccm ctr cmac sch_netem; do load "$module"; done
sed "s|/run/dbus/system_bus_socket|/run/dbus/other|" /run/dbus/bus.conf >/run/dbus/other.conf
dbus-daemon --config-file=/run/dbus/other.conf --fork || finish bus
export OTHER_BUS=unix:path=/run/dbus/other
for radio in wlan0 wlan1; do
    cat >"/run/wpa-$radio.conf" <<WPA
device_name=$radio
device_type=1-0050F204-1
config_methods=virtual_push_button display keypad
WPA
done
# Runs the supplicant of a radio, for this script and for the tests that kill it.
cat >/run/bin/supplicant <<RUN
#!/bin/sh
[ "\$1" = wlan0 ] || export DBUS_SYSTEM_BUS_ADDRESS="$OTHER_BUS"
exec "$tools/sbin/wpa_supplicant" -u -D nl80211 -i "\$1" -c "/run/wpa-\$1.conf" \$WPA_DEBUG \
    >>"/run/wpa-\$1.log" 2>&1
RUN
chmod +x /run/bin/supplicant
supplies() {
    timeout 10 dbus-send --bus="$1" --print-reply --dest=fi.w1.wpa_supplicant1 \
        /fi/w1/wpa_supplicant1 org.freedesktop.DBus.Properties.Get \
        string:fi.w1.wpa_supplicant1 string:Interfaces 2>&1 | grep -c Interfaces/
}
for radio in wlan0 wlan1; do supplicant "$radio" & done
for bus in unix:path=/run/dbus/system_bus_socket "$OTHER_BUS"; do
    for _ in $(seq 60); do
        [ "$(supplies "$bus")" -ge 1 ] && break
        sleep 0.5
    done
    [ "$(supplies "$bus")" -ge 1 ] || finish supplicant
done
echo "wpa_supplicants up $(up)"
