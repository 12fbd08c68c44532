/*
 * A libnvidia-ml.so.1 without a driver. NVML_STUB_FILE names a text file, one device a line:
 *
 *     name_with_underscores total_bytes used_bytes utilization temperature ecc error pid
 *
 * `error` is the NVML code that every call on the device returns (0: none), `pid` a process that
 * holds all used memory (0: none). The file is read at each call, so devices can be lost live.
 * NVML_STUB_INIT is the code that initialisation returns. NVML_STUB_EVENTS names a file of critical
 * errors, one a line, which may grow: `device xid`. As with the driver, each is told once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    TIMEOUT = 10,
    GPU_IS_LOST = 15,
    MAX_DEVICES = 16
};

typedef struct {
    char name[96];
    unsigned long long total, used, ecc;
    unsigned utilization, temperature, pid;
    int error;
} Device;

typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct {
    unsigned pid;
    unsigned long long used;
    unsigned gpu_instance, compute_instance;
} Process;

static Device devices[MAX_DEVICES];
static int initialized;

static int load(void) {
    const char *path = getenv("NVML_STUB_FILE");
    FILE *file = path ? fopen(path, "r") : NULL;
    int count = 0;
    if (!file) return 0;
    while (count < MAX_DEVICES) {
        Device *d = &devices[count];
        if (fscanf(file, "%95s %llu %llu %u %u %llu %d %u", d->name, &d->total, &d->used,
                   &d->utilization, &d->temperature, &d->ecc, &d->error, &d->pid) != 8) break;
        count++;
    }
    fclose(file);
    return count;
}

/* Handles are indexes that start at one, since a null handle means none. */
static int find(void *handle, Device **device) {
    long index = (long)handle - 1;
    if (!initialized) return UNINITIALIZED;
    if (index < 0 || index >= load()) return GPU_IS_LOST;
    *device = &devices[index];
    return devices[index].error;
}

#define DEVICE(handle)                        \
    Device *d;                                \
    int error = find(handle, &d);             \
    if (error != SUCCESS) return error

int nvmlInit_v2(void) {
    const char *code = getenv("NVML_STUB_INIT");
    int result = code ? atoi(code) : SUCCESS;
    if (result == SUCCESS) initialized++; /* Counted, as by the driver. */
    return result;
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; return nvmlInit_v2(); }

int nvmlShutdown(void) { initialized--; return SUCCESS; }

const char *nvmlErrorString(int code) {
    switch (code) {
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "stub error";
    }
}

int nvmlSystemGetDriverVersion(char *text, unsigned size) {
    snprintf(text, size, "999.01");
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    if (!initialized) return UNINITIALIZED;
    *count = (unsigned)load();
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    if (index >= (unsigned)load()) return INVALID_ARGUMENT;
    *handle = (void *)(long)(index + 1);
    return SUCCESS;
}

int nvmlDeviceGetName(void *handle, char *text, unsigned size) {
    DEVICE(handle);
    snprintf(text, size, "%s", d->name);
    for (; *text; text++) if (*text == '_') *text = ' ';
    return SUCCESS;
}

int nvmlDeviceGetUUID(void *handle, char *text, unsigned size) {
    DEVICE(handle);
    snprintf(text, size, "GPU-00000000-0000-0000-0000-%012ld", (long)(d - devices));
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(void *handle, Memory *memory) {
    DEVICE(handle);
    memory->total = d->total;
    memory->used = d->used;
    memory->free = d->total - d->used;
    return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) {
    DEVICE(handle);
    *major = 9;
    *minor = 0;
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *handle, Utilization *rates) {
    DEVICE(handle);
    rates->gpu = d->utilization;
    rates->memory = 0;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *celsius) {
    DEVICE(handle);
    (void)sensor;
    *celsius = d->temperature;
    return SUCCESS;
}

/* A count of 999 stands for a consumer device, which has no error correction. */
int nvmlDeviceGetTotalEccErrors(void *handle, int type, int counter, unsigned long long *count) {
    DEVICE(handle);
    (void)type;
    (void)counter;
    if (d->ecc == 999) return NOT_SUPPORTED;
    *count = d->ecc;
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, Process *found) {
    DEVICE(handle);
    unsigned room = *count, there = d->pid != 0;
    *count = there;
    if (room < there) return INSUFFICIENT_SIZE;
    if (there) found[0] = (Process){d->pid, d->used, 0, 0};
    return SUCCESS;
}

typedef struct {
    void *device;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
} Event;

static int told;

int nvmlEventSetCreate(void **set) {
    *set = &told;
    return initialized ? SUCCESS : UNINITIALIZED;
}

int nvmlDeviceRegisterEvents(void *handle, unsigned long long types, void *set) {
    DEVICE(handle);
    (void)types;
    (void)set;
    return SUCCESS;
}

int nvmlEventSetFree(void *set) {
    (void)set;
    return SUCCESS;
}

int nvmlEventSetWait_v2(void *set, Event *event, unsigned timeout_ms) {
    const char *path = getenv("NVML_STUB_EVENTS");
    (void)set;
    for (unsigned waited_ms = 0; waited_ms <= timeout_ms; waited_ms += 20) {
        FILE *file = path ? fopen(path, "r") : NULL;
        long number;
        unsigned long long xid;
        int line = 0;
        while (file && fscanf(file, "%ld %llu", &number, &xid) == 2) {
            if (line++ < told) continue;
            told++;
            fclose(file);
            *event = (Event){(void *)(number + 1), 8, xid, 0, 0};
            return SUCCESS;
        }
        if (file) fclose(file);
        usleep(20000);
    }
    return TIMEOUT;
}
