# shellcheck shell=bash
daemon_resume() { :; }
