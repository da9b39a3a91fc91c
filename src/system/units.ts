/** The facts on which the systemd units depend. */
export interface UnitOptions {
  /** The first words of the command line: absolute paths without spaces. */
  readonly program: readonly string[]
  /** Whether the program can notify systemd of readiness, which requires koffi. */
  readonly notifies: boolean
}

/** The listen address of the service if systemd-resolved runs too, and in general if it is free. */
export const UNIT_PLACE = '127.0.0.55:53'
const STUB_PLACE = '127.0.0.53:53'

export const SERVICE_UNIT = 'enigm-dns.service'
export const SOCKET_UNIT = 'enigm-dns.socket'
export const STUB_SOCKET_UNIT = 'enigm-dns-53.socket'
/** The units of this program, in the order in which they are enabled. */
export const UNITS = [SOCKET_UNIT, STUB_SOCKET_UNIT, SERVICE_UNIT] as const

/**
 * The first line of each unit file. Only a file that begins with this line is replaced or removed.
 */
export const UNIT_MARK = '# Made by enigm-dns. Own settings: systemctl edit'

/** The text of every unit by its name. The .deb and `service install` use it. */
export function unitFiles(o: UnitOptions): Readonly<Record<(typeof UNITS)[number], string>> {
  return { [SERVICE_UNIT]: service(o), [SOCKET_UNIT]: socket(), [STUB_SOCKET_UNIT]: stubSocket() }
}

function service({ program, notifies }: UnitOptions): string {
  const command = program.join(' ')
  return `${UNIT_MARK} ${SERVICE_UNIT}
[Unit]
Description=Encrypted DNS for this machine
Documentation=man:enigm-dns(1)
Wants=nss-lookup.target
Before=nss-lookup.target
After=network.target
# However often it fails, it is started again: its sockets must never fail with it.
StartLimitIntervalSec=0

[Service]
${notifies ? 'Type=notify\nNotifyAccess=main\nWatchdogSec=10s' : '# Without the package koffi it cannot tell that it is ready.\nType=exec'}
ExecStart=${command} run
ExecReload=${command} reload
Restart=on-failure
RestartSec=1s
TimeoutStopSec=10s
Sockets=${SOCKET_UNIT} ${STUB_SOCKET_UNIT}

# A user that exists while it runs: no root, no capability. The sockets below 1024 are systemd's.
User=enigm-dns
DynamicUser=yes
StateDirectory=enigm-dns
StateDirectoryMode=0700
RuntimeDirectory=enigm-dns
RuntimeDirectoryMode=0755
UMask=0077
LimitCORE=0

NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
KeyringMode=private
LockPersonality=yes
PrivateDevices=yes
PrivateMounts=yes
DevicePolicy=closed
PrivateTmp=yes
PrivateUsers=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# Node asks for what it does not need and goes on without it. A signal would end it.
SystemCallErrorNumber=EPERM

# What stays open, and why:
# AF_INET and AF_INET6: it asks resolvers and answers clients. AF_UNIX: it takes orders on a socket
# and talks to systemd. AF_NETLINK: the kernel tells it of other networks, and who has which address.
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
# Resolvers are anywhere, and a network may bring its own.
PrivateNetwork=no
IPAddressDeny=
# V8 compiles to machine code while it runs. Without that it has no WebAssembly, and is slower.
MemoryDenyWriteExecute=no
# The signature of the status names the boot, whose id lies in /proc/sys.
ProcSubset=all
# It reads certificates, its configuration and who is asked by the system: all below / but homes.
RootDirectory=

[Install]
WantedBy=multi-user.target
Also=${SOCKET_UNIT} ${STUB_SOCKET_UNIT}
`
}

/**
 * Settings of the sockets. Queries wait there while the service starts; 10,000 of them need 8 MB.
 */
const SOCKET = `ReceiveBuffer=8M
Backlog=4096
Service=${SERVICE_UNIT}
# The limit would end the socket when a start fails again and again: then nothing would resolve.
TriggerLimitIntervalSec=0
`

function socket(): string {
  return `${UNIT_MARK} ${SOCKET_UNIT}
[Unit]
Description=Where encrypted DNS is asked for
Documentation=man:enigm-dns(1)

[Socket]
# systemd-resolved takes this address as a server; 127.0.0.53 and 127.0.0.54 it drops.
ListenDatagram=${UNIT_PLACE}
ListenStream=${UNIT_PLACE}
${SOCKET}
[Install]
WantedBy=sockets.target
`
}

function stubSocket(): string {
  return `${UNIT_MARK} ${STUB_SOCKET_UNIT}
[Unit]
Description=Where encrypted DNS is asked for, at the usual address of a stub resolver
Documentation=man:enigm-dns(1)
# Where systemd-resolved runs, the address is its own.
After=systemd-resolved.service
ConditionPathExists=!/run/systemd/resolve/stub-resolv.conf

[Socket]
ListenDatagram=${STUB_PLACE}
ListenStream=${STUB_PLACE}
${SOCKET}
[Install]
WantedBy=sockets.target
`
}
