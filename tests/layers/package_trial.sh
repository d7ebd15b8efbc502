#!/usr/bin/env bash
# Installs the packages of a folder as README says, has a mail written, runs the programs, and removes all again: `package_trial.sh DEBS README`.
#
# Run it by `unshare --mount --pid --net --fork --kill-child`: it works on a copy of this machine that shares what is not written
# with it, and ends with the script, as do all processes in it.
set -euo pipefail

if [ -z "${IN_THE_COPY:-}" ]; then
    place=$(mktemp -d /tmp/ma-package-XXXXXX)
    trap 'umount -R -l "$place" && rmdir "$place"' EXIT
    mount -t tmpfs tmpfs "$place"
    mkdir "$place/written" "$place/work" "$place/root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$place/written,workdir=$place/work" "$place/root"
    mount -t proc proc "$place/root/proc"
    mount --rbind /dev "$place/root/dev"
    # Without the sockets of the machine's services.
    mount -t tmpfs tmpfs "$place/root/run"
    mount -t tmpfs -o mode=1777 tmpfs "$place/root/tmp"
    cp "$1"/*.deb "$2" "$0" "$place/root/tmp"
    chroot "$place/root" env -i DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 IN_THE_COPY=1 bash /tmp/package_trial.sh
    exit
fi

cd /tmp
step() { printf -- '-- %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

step 'a fresh cluster, as postgresql-15 makes one'
rm -rf /etc/postgresql/15/main /var/lib/postgresql/15/main
mkdir -p /var/run/postgresql && chown postgres:postgres /var/run/postgresql
pg_createcluster 15 main >/dev/null
pg_conftool 15 main set listen_addresses ''

step 'what README says'
sed -n '/^## Your first mail/,/^## /{/^```console$/,/^```$/p}' README.md | sed '/^```/d' >commands
[ -s commands ] || fail 'README has lost its first way'
# No network here, and no systemd.
sed -i -e 's/^sudo apt install /dpkg -i /' -e 's/^sudo systemctl restart postgresql$/pg_ctlcluster 15 main restart/' \
    -e 's/^sudo -u postgres /runuser -u postgres -- /' -e 's/^sudo //' commands
sed -n '1,/^```sql$/d; /^```$/q; p' README.md >first.sql
chmod a+r first.sql
# It is for trying out: who has no cluster running need not stop it.
pg_ctlcluster 15 main start
set -x
. ./commands
set +x

step 'the first mail'
for _ in $(seq 600); do
    mails=(/var/lib/postgresql/mail/*.eml)
    [ ! -e "${mails[0]}" ] || break
    sleep 0.1
done
grep -q '^Subject: .*Welcome' "${mails[0]}" || fail "no mail: $(runuser -u postgres -- psql shop -xc 'table marketing_automation.message' \
    -c 'select * from marketing_automation.worker_status()')"

step 'the programs, as their units run them'
sql() { runuser -u postgres -- psql -X -q -v ON_ERROR_STOP=1 shop -c "$1"; }
sql "create role tracking_proxy login; create role marketing_mailer login;
    do \$\$ begin
        perform marketing_automation.grant_access('tracking_proxy', 'tracking'), marketing_automation.grant_access('marketing_mailer', 'mailer');
    end \$\$"
sed -i 's/dbname=postgres/dbname=shop/' /etc/marketing-automation/*.toml
for path in tracking-proxy.toml:tracking_proxy mailer.toml:marketing_mailer; do
    [ "$(stat -c '%a %U %G' "/etc/marketing-automation/${path%:*}")" = "640 root ${path#*:}" ] || fail "$path can be read by others"
done
install -d -o tracking_proxy -m 700 /var/lib/marketing-tracking
install -d -o tracking_proxy -g www-data /run/marketing-tracking
command_of() { sed -n 's/^ExecStart=//p' "/usr/lib/systemd/system/$1.service"; }
# shellcheck disable=SC2046
runuser -u tracking_proxy -- $(command_of marketing-tracking-proxy) --check
# shellcheck disable=SC2046
runuser -u tracking_proxy -- $(command_of marketing-tracking-proxy) &
for _ in $(seq 600); do
    [ "$(curl -s --unix-socket /run/marketing-tracking/http.sock http://proxy/readyz || true)" != ready ] || break
    sleep 0.1
done
[ "$(curl -s --unix-socket /run/marketing-tracking/http.sock http://proxy/readyz)" = ready ] || fail 'the proxy is not ready'
kill %1
wait %1 || true
# A mailer on another host has a server to send by.
install -d -o marketing_mailer /srv/mail
sql "alter database shop set marketing_automation.smtp_url = 'file:///srv/mail'"
# shellcheck disable=SC2046
runuser -u marketing_mailer -- $(command_of marketing-mailer) --check
systemd-analyze verify --man=no --recursive-errors=no /usr/lib/systemd/system/marketing-*.service
for program in marketing-mailer marketing-tracking-proxy; do
    zcat "/usr/share/man/man8/$program.8.gz" | groff -man -ww -Tutf8 >page 2>complaints
    [ ! -s complaints ] || fail "$program.8: $(cat complaints)"
    grep -q -- config page || fail "$program.8 does not show its options"
done

step 'away again'
pg_ctlcluster 15 main stop
dpkg -r marketing-automation-tools postgresql-15-marketing-automation
left=$(find /usr \( -name 'marketing_automation*' -o -name 'marketing-automation*' -o -name 'marketing-mailer*' \) ! -path '/usr/local/*')
[ -z "$left" ] || fail "left behind: $left"
[ -e /etc/marketing-automation/mailer.toml ] || fail 'options are to stay until a purge'
dpkg --purge marketing-automation-tools postgresql-15-marketing-automation
[ ! -e /etc/marketing-automation ] && [ ! -e /var/lib/marketing-tracking ] || fail 'left behind after the purge'
[ -e /var/lib/postgresql/15/main/base ] || fail 'the cluster is to stay'
step 'done'
