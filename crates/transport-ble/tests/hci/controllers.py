"""Virtual Bluetooth LE controllers that hear each other, for hosts in other processes.

Each speaks HCI (H4) on a loopback port of its own, the last one on a pseudo-terminal. What is
listened on is printed, one a line; then `ready`. Commands come as lines on standard input, and each
is answered by a line:

  drop            every connection is lost, and both ends are told of a supervision timeout
  partition       nobody hears anybody; connections are lost after SUPERVISION
  heal            they hear each other again
  delay MS        data arrives so much later
  show HEX        an advertisement with these bytes is heard, of a device that is not there
  data NAME HEX   an L2CAP packet arrives on every connection of that controller
  hang NAME       the host of that controller loses the line to it
  stats           how much data was carried, in packets

It ends with its standard input. Written for bumble 0.0.236, of which some things are mended here: a
reset resets, a host that is gone is gone, a connection that is being made can be given up, and data
comes in packets as long as controllers have.
"""

import asyncio
import os
import sys
import tty

from bumble import hci, ll
from bumble.controller import Controller
from bumble.link import LocalLink
from bumble.transport.common import PacketParser

# Data in one packet, with data length extension, in bytes.
ACL = 251
# How long a silent connection stands, in seconds: shorter than the hosts ask for, so that tests do
# not wait.
SUPERVISION = 1.0
STRANGER = hci.Address("C0:00:00:00:BA:D0", hci.Address.RANDOM_DEVICE_ADDRESS)


class Air(LocalLink):
    def __init__(self):
        super().__init__()
        self.delay = 0.0
        self.partitioned = False
        self.packets = 0
        self.waiting = asyncio.Queue()

    def send_acl_data(self, sender, destination, transport, data):
        if self.partitioned:
            return
        self.packets += 1
        if self.delay == 0.0:
            super().send_acl_data(sender, destination, transport, data)
            return
        arrive = super().send_acl_data
        at = asyncio.get_running_loop().time() + self.delay
        self.waiting.put_nowait((at, lambda: arrive(sender, destination, transport, data)))

    async def carry(self):
        """In order, whatever the delays."""
        while True:
            at, arrive = await self.waiting.get()
            await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))
            arrive()

    def send_advertising_pdu(self, sender, packet):
        if not self.partitioned:
            super().send_advertising_pdu(sender, packet)

    def send_ll_control_pdu(self, sender_address, receiver_address, packet):
        # The other end may have lost the connection a moment before.
        if not self.partitioned and self.find_le_controller(receiver_address):
            super().send_ll_control_pdu(sender_address, receiver_address, packet)


class Virtual(Controller):
    le_acl_data_packet_length = ACL

    def lose(self, reason=hci.HCI_CONNECTION_TIMEOUT_ERROR):
        """Every connection of this end; the other ends are not told."""
        connections = list(self.le_connections.values())
        for connection in connections:
            self.on_le_disconnected(connection, reason)
        return len(connections)

    def vanish(self):
        """For the others, who notice in time; not for its host, which is not there or does not ask."""
        self.le_scan_enable = False
        self.pending_le_connection = None
        self.le_legacy_advertiser.stop()
        for connection in self.le_connections.values():
            other = self.link.find_le_controller(connection.peer_address)
            there = other and other.le_connections.get(connection.self_address)
            if there:
                other.on_le_disconnected(there, hci.HCI_CONNECTION_TIMEOUT_ERROR)
        self.le_connections.clear()

    def on_hci_reset_command(self, command):
        self.vanish()
        return super().on_hci_reset_command(command)

    def on_hci_le_create_connection_cancel_command(self, command):
        result = super().on_hci_le_create_connection_cancel_command(command)
        pending, self.pending_le_connection = self.pending_le_connection, None
        if pending:
            self.send_hci_packet(
                hci.HCI_LE_Connection_Complete_Event(
                    status=hci.HCI_UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
                    connection_handle=0,
                    role=hci.Role.CENTRAL,
                    peer_address_type=pending.peer_address.address_type,
                    peer_address=pending.peer_address,
                    connection_interval=0,
                    peripheral_latency=0,
                    supervision_timeout=0,
                    central_clock_accuracy=0,
                )
            )
        return result

    def on_ll_control_pdu(self, sender_address, packet):
        if sender_address in self.le_connections:
            super().on_ll_control_pdu(sender_address, packet)

    def on_link_acl_data(self, sender_address, transport, data):
        connection = self.le_connections.get(sender_address)
        if connection:
            self.deliver(connection, data)

    def deliver(self, connection, data):
        first = True
        for at in range(0, len(data), ACL):
            part = data[at : at + ACL]
            # 2 begins an L2CAP packet, 1 goes on with it.
            boundary = 2 if first else 1
            self.send_hci_packet(
                hci.HCI_AclDataPacket(connection.handle, boundary, 0, len(part), part)
            )
            first = False


class Line:
    """A port with at most one host, as the sink of a controller."""

    def __init__(self, controller):
        self.controller = controller
        self.writer = None
        controller.set_packet_sink(self)

    def on_packet(self, packet):
        if self.writer:
            self.writer.write(packet)

    async def served(self, reader, writer):
        if self.writer:
            writer.close()
            return
        self.writer = writer
        parser = PacketParser(self.controller)
        try:
            while data := await reader.read(65536):
                parser.feed_data(data)
        except ConnectionError:
            pass
        self.writer = None
        writer.close()
        self.controller.vanish()

    def hang(self):
        if self.writer:
            self.writer.transport.abort()


class Terminal:
    """The same on a pseudo-terminal. A host that leaves is not noticed, as with a real line."""

    def __init__(self, controller):
        self.near, self.far = os.openpty()
        tty.setraw(self.near)
        tty.setraw(self.far)
        parser = PacketParser(controller)
        loop = asyncio.get_running_loop()
        loop.add_reader(self.near, lambda: parser.feed_data(os.read(self.near, 65536)))
        controller.set_packet_sink(self)

    def on_packet(self, packet):
        os.write(self.near, packet)


async def main():
    count = int(sys.argv[1])
    air = Air()
    asyncio.create_task(air.carry())
    lines = []
    for number in range(count):
        controller = Virtual(f"C{number}", link=air, public_address=f"F0:F1:F2:F3:F4:{number:02X}")
        if number % 2:
            # It reports what it hears in the older form.
            controller.le_features &= ~hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
        line = Line(controller)
        server = await asyncio.start_server(line.served, "127.0.0.1", 0)
        print(f"tcp:127.0.0.1:{server.sockets[0].getsockname()[1]}")
        lines.append((line, server))
    terminal = Terminal(Virtual("serial", link=air, public_address="F0:F1:F2:F3:F4:FF"))
    print(f"serial:{os.ttyname(terminal.far)}")
    print("ready", flush=True)

    def lost():
        if air.partitioned:
            for controller in air.controllers:
                controller.lose()

    def obey(words):
        match words:
            case ["drop"]:
                return f"dropped {sum(controller.lose() for controller in air.controllers)}"
            case ["partition"]:
                air.partitioned = True
                asyncio.get_running_loop().call_later(SUPERVISION, lost)
            case ["heal"]:
                air.partitioned = False
            case ["delay", millis]:
                air.delay = float(millis) / 1e3
            case ["show", *data]:
                shown = ll.AdvInd(advertiser_address=STRANGER, data=bytes.fromhex("".join(data)))
                for controller in air.controllers:
                    controller.on_ll_advertising_pdu(shown)
            case ["data", number, data]:
                controller = lines[int(number)][0].controller
                for connection in list(controller.le_connections.values()):
                    controller.deliver(connection, bytes.fromhex(data))
            case ["hang", number]:
                lines[int(number)][0].hang()
            case ["stats"]:
                return f"packets {air.packets}"
            case _:
                return f"unknown {words}"
        return "ok"

    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    while order := await orders.readline():
        print(obey(order.decode().split()), flush=True)


asyncio.run(main())
