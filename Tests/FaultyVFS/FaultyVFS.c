#include "FaultyVFS.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    sqlite3_file base;
    sqlite3_file *real;
    char path[1024];
} Faulty;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long fail_at, operations;
static int fail_code, fail_lasting, keep_synced;
static sqlite3_vfs layer;
static sqlite3_vfs *below;

void faulty_fail_at(long n, int code, int lasting) {
    pthread_mutex_lock(&lock);
    fail_at = n;
    fail_code = code;
    fail_lasting = lasting;
    operations = 0;
    pthread_mutex_unlock(&lock);
}

long faulty_operations(void) {
    pthread_mutex_lock(&lock);
    long count = operations;
    pthread_mutex_unlock(&lock);
    return count;
}

void faulty_keep_synced(int on) {
    pthread_mutex_lock(&lock);
    keep_synced = on;
    pthread_mutex_unlock(&lock);
}

// Counts one operation; returns the code it is to fail with, or SQLITE_OK.
static int count(void) {
    pthread_mutex_lock(&lock);
    operations++;
    int fails = fail_at > 0 && (operations == fail_at || (fail_lasting && operations > fail_at));
    int code = fails ? fail_code : SQLITE_OK;
    pthread_mutex_unlock(&lock);
    return code;
}

static sqlite3_file *real(sqlite3_file *file) { return ((Faulty *)file)->real; }

static int f_close(sqlite3_file *file) {
    Faulty *faulty = (Faulty *)file;
    int code = faulty->real->pMethods ? faulty->real->pMethods->xClose(faulty->real) : SQLITE_OK;
    free(faulty->real);
    faulty->real = NULL;
    return code;
}
static int f_read(sqlite3_file *file, void *to, int n, sqlite3_int64 at) { return real(file)->pMethods->xRead(real(file), to, n, at); }
static int f_write(sqlite3_file *file, const void *from, int n, sqlite3_int64 at) {
    int code = count();
    return code ? code : real(file)->pMethods->xWrite(real(file), from, n, at);
}
static int f_truncate(sqlite3_file *file, sqlite3_int64 size) {
    int code = count();
    return code ? code : real(file)->pMethods->xTruncate(real(file), size);
}

// Copies what the file holds now: what a power cut leaves of it.
static void remember(Faulty *faulty) {
    char name[1100];
    snprintf(name, sizeof name, "%s.synced", faulty->path);
    sqlite3_int64 size = 0;
    faulty->real->pMethods->xFileSize(faulty->real, &size);
    FILE *copy = fopen(name, "wb");
    if (!copy) return;
    char *buffer = malloc(size > 0 ? (size_t)size : 1);
    if (buffer && size > 0 && faulty->real->pMethods->xRead(faulty->real, buffer, (int)size, 0) == SQLITE_OK) fwrite(buffer, 1, (size_t)size, copy);
    free(buffer);
    fclose(copy);
}

static int f_sync(sqlite3_file *file, int flags) {
    int code = count();
    if (code) return code;
    code = real(file)->pMethods->xSync(real(file), flags);
    if (code == SQLITE_OK && keep_synced) remember((Faulty *)file);
    return code;
}
static int f_size(sqlite3_file *file, sqlite3_int64 *size) { return real(file)->pMethods->xFileSize(real(file), size); }
static int f_lock(sqlite3_file *file, int level) { return real(file)->pMethods->xLock(real(file), level); }
static int f_unlock(sqlite3_file *file, int level) { return real(file)->pMethods->xUnlock(real(file), level); }
static int f_check(sqlite3_file *file, int *out) { return real(file)->pMethods->xCheckReservedLock(real(file), out); }
static int f_control(sqlite3_file *file, int op, void *arg) { return real(file)->pMethods->xFileControl(real(file), op, arg); }
static int f_sector(sqlite3_file *file) { return real(file)->pMethods->xSectorSize(real(file)); }
static int f_device(sqlite3_file *file) {
    // What the system's layer promises of a disk is not promised here.
    (void)file;
    return 0;
}

// Version 1: no shared memory, so a write-ahead log needs the exclusive locking mode, as the store uses it.
static const sqlite3_io_methods methods = {
    1, f_close, f_read, f_write, f_truncate, f_sync, f_size, f_lock, f_unlock, f_check, f_control, f_sector, f_device,
};

static int v_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out) {
    (void)vfs;
    Faulty *faulty = (Faulty *)file;
    memset(faulty, 0, sizeof *faulty);
    if (flags & (SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) {
        int code = count();
        if (code) return code == SQLITE_FULL ? SQLITE_CANTOPEN : code;
    }
    faulty->real = calloc(1, (size_t)below->szOsFile);
    if (!faulty->real) return SQLITE_NOMEM;
    int code = below->xOpen(below, path, faulty->real, flags, out);
    if (code != SQLITE_OK) {
        free(faulty->real);
        faulty->real = NULL;
        return code;
    }
    if (path) snprintf(faulty->path, sizeof faulty->path, "%s", path);
    faulty->base.pMethods = &methods;
    return SQLITE_OK;
}

static int v_delete(sqlite3_vfs *vfs, const char *path, int sync) {
    (void)vfs;
    int code = count();
    if (code) return code == SQLITE_FULL ? SQLITE_IOERR_DELETE : code;
    code = below->xDelete(below, path, sync);
    if (code == SQLITE_OK && keep_synced) {
        char name[1100];
        snprintf(name, sizeof name, "%s.synced", path);
        remove(name);
    }
    return code;
}

int faulty_register(void) {
    below = sqlite3_vfs_find(NULL);
    if (!below) return SQLITE_ERROR;
    layer = *below;
    layer.pNext = NULL;
    layer.zName = "faulty";
    layer.szOsFile = sizeof(Faulty);
    layer.xOpen = v_open;
    layer.xDelete = v_delete;
    return sqlite3_vfs_register(&layer, 0);
}
