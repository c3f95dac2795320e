#!/bin/sh
# Runs the command as the user PUID and the group PGID, or as the user that the container was started with.
set -eu
if [ "$(id -u)" -ne 0 ]; then
  exec tini -- batch-video-downloader "$@"
fi
: "${PUID:=1000}" "${PGID:=1000}"
# Docker makes the folder of a mount that is not there, as root.
if [ "$(stat -c %u /storage)" -eq 0 ]; then
  chown "$PUID:$PGID" /storage || true
fi
exec setpriv --reuid "$PUID" --regid "$PGID" --clear-groups --no-new-privs tini -- batch-video-downloader "$@"
