#!/bin/sh
# Says where and as whom it runs, sleeps for the seconds given, says that it is done.
echo "running on $(hostname) as $(id -un)"
sleep "$1"
echo "slept $1 seconds"
