# shellcheck shell=bash
# What `lab help` prints.

show_help() {
    cat <<'END'
lab: real libvirt hosts on one machine, for tests, the demo and developers. Root only.

usage: lab [-n NAME] COMMAND …        NAME is the lab (default demo, or LAB_NAME); several may be up side by side

The lab
  up [--hosts N] [--bmc]     bring it up (3 hosts unless told), add hosts to it, or heal it after faults
  down                       take it down without a trace, also after a crash
  clean                      heal it and remove every guest and volume, for the next test
  hosts                      each host with its two URIs
  uri [--socket] HOST        qemu+tcp://… (over the management link), or the unix socket (which no cut link closes)
  bmc HOST                   its BMC, as fence_ipmilan reads it from standard input (after up --bmc)
  exec HOST COMMAND…         run a command inside a host
  virsh HOST ARGUMENT…       virsh on a host

Guests
  guest create NAME --host HOST [--memory MiB] [--vcpus N] [--disk MiB] [--load "cpu=50 disk=1"]
               [--metadata group=web,tenant=acme,instance-type=s1.small,tag.KEY=VALUE | FILE] [--seed ISO] [--uuid U]
  guest define …             the same without starting it
  guest start|stop|destroy|undefine NAME       stop is the power button; undefine also removes its disk
  guest wait NAME [--seconds N]                until it answers on its port 80
  guest ip|host|xml NAME
  guest exec NAME COMMAND…   run a shell command inside the guest
  guests                     every guest with its host
  demo-guests                six guests of different habits on the hosts, and waits for them
  load NAME [cpu=80] [disk=4] [net=2] [mem=30] [dirty=1]
                             percent of one CPU, MiB/s, MiB/s, MiB held, MiB/s of memory rewritten; 0 ends it

State and faults
  status [--json]            hosts, links, daemons and guests, from the outside: it answers whatever hangs
  migrate NAME --to HOST     live
  node HOST cpu=80 mem=60    makes the host look loaded (percent used); `off` shows the machine again
  fault power-off HOST       every process of the host dies at once, and nothing says goodbye; power-on starts it again
  fault link-down HOST       the management link is a black hole, its guests run on; --all cuts their network too; link-up
  fault libvirtd-kill HOST   its guests run on; libvirtd-start
  fault libvirtd-freeze HOST connections open and nothing answers; libvirtd-thaw
  fault qemu-kill GUEST      the guest crashes
  fault qemu-freeze GUEST    its monitor hangs; qemu-thaw
  fault bmc-kill HOST        its BMC falls silent; bmc-start

Exit code 2: the command line is wrong; 1: it failed. Each lab lives in /var/tmp/steward-lab-NAME, or in LAB_DIR.
END
}
