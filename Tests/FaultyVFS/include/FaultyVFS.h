// A SQLite file system layer for tests: fails when told, and remembers what would survive a power cut.
#ifndef FAULTY_VFS_H
#define FAULTY_VFS_H

// Registers the layer under the name "faulty", over the system's; returns SQLite's result code.
int faulty_register(void);

// From now on, counting from 1, the nth write, sync, truncate, open for writing or delete fails with SQLite's code; those after it too
// when `lasting` is not 0. With n = 0 nothing fails.
void faulty_fail_at(long n, int code, int lasting);

// Operations counted since the last faulty_fail_at.
long faulty_operations(void);

// When on, each synced file is copied beside itself with the suffix ".synced".
void faulty_keep_synced(int on);

#endif
