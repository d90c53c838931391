// A stand-in for NVIDIA's driver library: enough of the CUDA driver API (CUDA Driver API manual) to run the driver
// device where there is no GPU. It is strict where the manual is: a context has to be current on the calling thread,
// handles have to live, addresses have to lie inside of allocations, a capture forbids what it forbids. Work is queued
// and done only when somebody waits for it, so whoever forgets to wait reads old bytes; what nothing orders in a graph
// is done in the opposite order of the calls. It knows one kernel, add_f32; other launches are only written into the log.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
typedef unsigned long long CUdeviceptr;
enum {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101,
    INVALID_IMAGE = 200, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_READY = 600, ILLEGAL_ADDRESS = 700,
    CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901, CAPTURE_MERGE = 902, CAPTURE_UNMATCHED = 903,
    CAPTURE_UNJOINED = 904, CAPTURE_ISOLATION = 905, CAPTURED_EVENT = 907
};

// ---- what a test sets and asks --------------------------------------------------------------------------------------

static struct {
    int version, devices, major, minor, initialized, lost;
    size_t memory, used;
    char fail_in[64];
    int fail_after, fail_code, fail_sticky;
    char log[1 << 16];
    struct { char function[64]; long count; } calls[64];
} gpu;
static long live;
static __thread int current;
static int retained;
static int context_handle;

// From the call number `after` on (0 is the next), `function` fails with `code`: once, or with `sticky` everything does.
void stand_in_fail(const char* function, int after, int code, int sticky) {
    snprintf(gpu.fail_in, sizeof gpu.fail_in, "%s", function);
    gpu.fail_after = after, gpu.fail_code = code, gpu.fail_sticky = sticky;
}
// Handles, allocations and contexts that were made and not given back.
long stand_in_live(void) { return live + retained; }
const char* stand_in_log(void) { return gpu.log; }

// How often `function` was called; those that give something back are not counted.
long stand_in_calls(const char* function) {
    for (int i = 0; i < 64; i++)
        if (strcmp(gpu.calls[i].function, function) == 0) return gpu.calls[i].count;
    return 0;
}

static void note(const char* text) {
    size_t length = strlen(gpu.log);
    snprintf(gpu.log + length, sizeof gpu.log - length, "%s\n", text);
}
static CUresult injected(const char* function) {
    int i = 0;
    while (gpu.calls[i].function[0] && strcmp(gpu.calls[i].function, function) != 0) i++;
    snprintf(gpu.calls[i].function, sizeof gpu.calls[i].function, "%s", function);
    gpu.calls[i].count++;
    if (gpu.lost) return gpu.lost;
    if (strcmp(function, gpu.fail_in) != 0 || gpu.fail_after-- > 0) return SUCCESS;
    gpu.fail_in[0] = 0;
    if (gpu.fail_sticky) gpu.lost = gpu.fail_code;
    return gpu.fail_code;
}
#define BEGIN                                               \
    do {                                                    \
        CUresult wanted = injected(__func__);               \
        if (wanted) return wanted;                          \
        if (!gpu.initialized) return NOT_INITIALIZED;       \
    } while (0)
#define BEGIN_IN_CONTEXT                                    \
    do {                                                    \
        BEGIN;                                              \
        if (!current || !retained) return INVALID_CONTEXT;  \
    } while (0)

// ---- memory ---------------------------------------------------------------------------------------------------------

#define MOST 4096
static struct { char* start; size_t bytes; } blocks[MOST];

static int inside(CUdeviceptr address, size_t bytes) {
    for (int i = 0; i < MOST; i++) {
        uintptr_t start = (uintptr_t)blocks[i].start;
        if (start && address >= start && address + bytes <= start + blocks[i].bytes) return 1;
    }
    return 0;
}

// ---- queued work ----------------------------------------------------------------------------------------------------

struct stream;
// Nodes of a graph by their places in it.
typedef struct set { int* list; int count; } set;
// Captures, sets and events' sets live as long as the process.
typedef struct capture { struct graph* graph; struct stream* origin; int invalid, ended; } capture;
typedef struct event {
    struct stream* by;
    long position;
    int alive;
    capture* captured; // where it was recorded, and what came before it there
    set ends;
    long change;
} event;
typedef struct work {
    enum { TO_DEVICE, TO_HOST, FILL, KERNEL, WAIT, GRAPH } kind;
    CUdeviceptr device;
    void* host;
    size_t bytes;
    int value;
    char text[256];
    char name[64];
    unsigned threads;
    unsigned char* parameters;
    struct stream* other;
    long position;
    struct graph* graph;
} work;
typedef struct graph { work* list; set* after; int count; } graph;
typedef struct stream {
    work* queue;
    long given, done;
    int alive;
    capture* capturing;
    set ends;           // what the next node waits for
    long change, joined; // how often the ends have changed; up to which change somebody waits for them
} stream;

static void include(set* to, int node) {
    for (int i = 0; i < to->count; i++)
        if (to->list[i] == node) return;
    to->list = realloc(to->list, (to->count + 1) * sizeof node);
    to->list[to->count++] = node;
}
static void unite(set* to, const set* from) {
    for (int i = 0; i < from->count; i++) include(to, from->list[i]);
}

static CUresult advance(stream* s, long until);

static CUresult perform(const work* w) {
    switch (w->kind) {
    case TO_DEVICE: memcpy((void*)(uintptr_t)w->device, w->host, w->bytes); return SUCCESS;
    case TO_HOST: memcpy(w->host, (void*)(uintptr_t)w->device, w->bytes); return SUCCESS;
    case FILL: memset((void*)(uintptr_t)w->device, w->value, w->bytes); return SUCCESS;
    case WAIT: return advance(w->other, w->position);
    case GRAPH: {
        graph* g = w->graph;
        char* done = calloc(g->count + 1, 1);
        CUresult result = SUCCESS;
        for (int left = g->count; left && !result; left--) {
            // The last one that waits for nothing any more.
            int next = g->count;
            for (int ready = 0; !ready;) {
                next--, ready = !done[next];
                for (int i = 0; ready && i < g->after[next].count; i++) ready = done[g->after[next].list[i]];
            }
            done[next] = 1, result = perform(&g->list[next]);
        }
        return free(done), result;
    }
    case KERNEL:
        note(w->text);
        if (strcmp(w->name, "add_f32") == 0) {
            // (const float* a, const float* b, float* y, u32 count)
            CUdeviceptr address[3];
            uint32_t count;
            memcpy(address, w->parameters, sizeof address);
            memcpy(&count, w->parameters + 24, sizeof count);
            if (count > w->threads * 4) return SUCCESS; // too small a grid: the bytes stay as they were
            for (int i = 0; i < 3; i++)
                if (!inside(address[i], count * sizeof(float))) return gpu.lost = ILLEGAL_ADDRESS;
            const float *a = (void*)(uintptr_t)address[0], *b = (void*)(uintptr_t)address[1];
            float* y = (void*)(uintptr_t)address[2];
            for (uint32_t i = 0; i < count; i++) y[i] = a[i] + b[i];
        }
        return SUCCESS;
    }
    return INVALID_VALUE;
}
static CUresult advance(stream* s, long until) {
    while (s->done < until) {
        CUresult result = perform(&s->queue[s->done++]);
        if (result) return result;
    }
    return SUCCESS;
}
static CUresult give(stream* s, work w) {
    if (!s || !s->alive) return INVALID_HANDLE;
    if (s->capturing) {
        if (s->capturing->invalid) return CAPTURE_INVALIDATED;
        graph* g = s->capturing->graph;
        g->list = realloc(g->list, (g->count + 1) * sizeof w);
        g->after = realloc(g->after, (g->count + 1) * sizeof(set));
        g->list[g->count] = w, g->after[g->count] = s->ends;
        s->ends = (set){0}, s->change++;
        include(&s->ends, g->count++);
        return SUCCESS;
    }
    s->queue = realloc(s->queue, (s->given + 1) * sizeof w);
    s->queue[s->given++] = w;
    return SUCCESS;
}
static stream* all_streams[MOST];
static int stream_count;
// A call that no capture allows: it is refused and spoils the capture (CUDA C++ Programming Guide, "Prohibited and
// Unhandled Operations", "Invalidation").
static CUresult forbid(stream* s) {
    s->capturing->invalid = 1;
    return CAPTURE_UNSUPPORTED;
}
static CUresult forbid_any(void) {
    for (int i = 0; i < stream_count; i++)
        if (all_streams[i]->alive && all_streams[i]->capturing) return forbid(all_streams[i]);
    return SUCCESS;
}

// A machine that was just started, whatever a lost one before has left.
void stand_in_reset(int version, int devices, int major, int minor, size_t memory) {
    memset(&gpu, 0, sizeof gpu), memset(blocks, 0, sizeof blocks);
    gpu.version = version, gpu.devices = devices, gpu.major = major, gpu.minor = minor, gpu.memory = memory;
    current = 0, live = 0, retained = 0, stream_count = 0;
}

// ---- the driver's functions -----------------------------------------------------------------------------------------

CUresult cuGetErrorName(CUresult code, const char** text) { (void)code; *text = "NAME"; return SUCCESS; }
CUresult cuGetErrorString(CUresult code, const char** text) { (void)code; *text = "text"; return SUCCESS; }
CUresult cuDriverGetVersion(int* version) { *version = gpu.version; return SUCCESS; }
CUresult cuInit(unsigned flags) {
    CUresult wanted = injected(__func__);
    if (wanted || flags) return wanted ? wanted : INVALID_VALUE;
    if (!gpu.devices) return NO_DEVICE;
    gpu.initialized = 1;
    return SUCCESS;
}
CUresult cuDeviceGetCount(int* count) { BEGIN; *count = gpu.devices; return SUCCESS; }
CUresult cuDeviceGet(int* device, int ordinal) {
    BEGIN;
    if (ordinal < 0 || ordinal >= gpu.devices) return INVALID_DEVICE;
    *device = ordinal + 40;
    return SUCCESS;
}
#define CHECK_DEVICE if (device < 40 || device >= 40 + gpu.devices) return INVALID_DEVICE
CUresult cuDeviceGetName(char* name, int length, int device) {
    BEGIN;
    CHECK_DEVICE;
    snprintf(name, length, "Stand-in %d", device - 40);
    return SUCCESS;
}
CUresult cuDeviceTotalMem_v2(size_t* bytes, int device) { BEGIN; CHECK_DEVICE; *bytes = gpu.memory; return SUCCESS; }
CUresult cuDeviceGetAttribute(int* value, int attribute, int device) {
    BEGIN;
    CHECK_DEVICE;
    switch (attribute) {
    case 13: *value = 1410000; return SUCCESS; // kHz
    case 16: *value = 108; return SUCCESS;
    case 36: *value = 1215000; return SUCCESS; // kHz
    case 37: *value = 5120; return SUCCESS;
    case 75: *value = gpu.major; return SUCCESS;
    case 76: *value = gpu.minor; return SUCCESS;
    case 97: *value = 101376; return SUCCESS;
    }
    return INVALID_VALUE;
}
CUresult cuDevicePrimaryCtxRetain(void** context, int device) {
    BEGIN;
    CHECK_DEVICE;
    retained++;
    *context = &context_handle;
    return SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease_v2(int device) {
    CHECK_DEVICE;
    if (!retained) return INVALID_CONTEXT;
    retained--;
    return SUCCESS;
}
CUresult cuCtxSetCurrent(void* context) {
    BEGIN;
    if (context != &context_handle) return INVALID_CONTEXT;
    current = 1;
    return SUCCESS;
}
static CUresult finish(stream* only) {
    for (int i = 0; i < stream_count; i++) {
        stream* s = all_streams[i];
        if (!s->alive || (only && s != only)) continue;
        if (s->capturing) return forbid(s);
        CUresult result = advance(s, s->given);
        if (result) return result;
    }
    return SUCCESS;
}
CUresult cuCtxSynchronize(void) { BEGIN_IN_CONTEXT; return finish(NULL); }
CUresult cuMemGetInfo_v2(size_t* free_bytes, size_t* total) {
    BEGIN_IN_CONTEXT;
    *free_bytes = gpu.memory - gpu.used, *total = gpu.memory;
    return SUCCESS;
}
CUresult cuMemAlloc_v2(CUdeviceptr* address, size_t bytes) {
    BEGIN_IN_CONTEXT;
    if (forbid_any()) return CAPTURE_UNSUPPORTED;
    if (!bytes) return INVALID_VALUE;
    if (bytes > gpu.memory - gpu.used) return OUT_OF_MEMORY;
    for (int i = 0; i < MOST; i++) {
        if (blocks[i].start) continue;
        blocks[i].start = aligned_alloc(256, (bytes + 255) / 256 * 256), blocks[i].bytes = bytes;
        memset(blocks[i].start, 0xcd, bytes);
        gpu.used += bytes, live++;
        *address = (uintptr_t)blocks[i].start;
        return SUCCESS;
    }
    return OUT_OF_MEMORY;
}
CUresult cuMemFree_v2(CUdeviceptr address) {
    for (int i = 0; i < MOST; i++) {
        if (!address || (uintptr_t)blocks[i].start != address) continue;
        if (!gpu.lost && current) finish(NULL);
        free(blocks[i].start);
        gpu.used -= blocks[i].bytes, live--;
        blocks[i].start = NULL;
        return gpu.lost;
    }
    return INVALID_VALUE;
}
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, stream* s) {
    BEGIN_IN_CONTEXT;
    if (!inside(to, bytes)) return INVALID_VALUE;
    return give(s, (work){.kind = TO_DEVICE, .device = to, .host = (void*)from, .bytes = bytes});
}
CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, stream* s) {
    BEGIN_IN_CONTEXT;
    if (!inside(from, bytes)) return INVALID_VALUE;
    return give(s, (work){.kind = TO_HOST, .device = from, .host = to, .bytes = bytes});
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, stream* s) {
    BEGIN_IN_CONTEXT;
    if (!inside(to, bytes)) return INVALID_VALUE;
    return give(s, (work){.kind = FILL, .device = to, .value = value, .bytes = bytes});
}

typedef struct { char names[1 << 16]; } module;
typedef struct function { char name[64]; struct function* next; } function;
static function* functions;

CUresult cuModuleLoadData(module** made, const void* image) {
    BEGIN_IN_CONTEXT;
    if (forbid_any()) return CAPTURE_UNSUPPORTED;
    const unsigned char* bytes = image;
    module* m = calloc(1, sizeof *m);
    size_t filled = 0;
    if (memcmp(bytes, "\177ELF", 4) == 0) {
        // A 64-bit ELF file for CUDA (190); the section names `.text.<kernel>` tell the kernels.
        uint64_t table;
        uint16_t machine, size, count, names;
        memcpy(&machine, bytes + 18, 2), memcpy(&table, bytes + 40, 8);
        memcpy(&size, bytes + 58, 2), memcpy(&count, bytes + 60, 2), memcpy(&names, bytes + 62, 2);
        if (machine != 190) return free(m), INVALID_IMAGE;
        uint64_t strings;
        memcpy(&strings, bytes + table + (uint64_t)names * size + 24, 8);
        for (int i = 0; i < count; i++) {
            uint32_t name;
            memcpy(&name, bytes + table + (uint64_t)i * size, 4);
            const char* text = (const char*)bytes + strings + name;
            if (strncmp(text, ".text.", 6) == 0) filled += sprintf(m->names + filled, " %s ", text + 6);
        }
        note("load cubin");
    } else if (strstr(image, ".version ") && strstr(image, ".target sm_")) {
        for (const char* at = image; (at = strstr(at, ".entry ")); at += 7)
            filled += sprintf(m->names + filled, " %.*s ", (int)strcspn(at + 7, "( "), at + 7);
        note("load ptx");
    } else {
        return free(m), INVALID_IMAGE;
    }
    live++;
    *made = m;
    return SUCCESS;
}
CUresult cuModuleUnload(module* m) { free(m); live--; return gpu.lost; }
CUresult cuModuleGetFunction(function** made, module* m, const char* name) {
    BEGIN_IN_CONTEXT;
    char word[80];
    snprintf(word, sizeof word, " %s ", name);
    if (!strstr(m->names, word)) return NOT_FOUND;
    function* f = calloc(1, sizeof *f);
    snprintf(f->name, sizeof f->name, "%s", name);
    f->next = functions, functions = f; // they live as long as the process
    *made = f;
    return SUCCESS;
}
CUresult cuFuncGetAttribute(int* value, int attribute, function* f) {
    BEGIN_IN_CONTEXT;
    if (attribute != 1 || !f) return INVALID_VALUE;
    *value = 1024;
    return SUCCESS;
}
CUresult cuFuncSetAttribute(function* f, int attribute, int value) {
    BEGIN_IN_CONTEXT;
    return attribute == 8 && f && value <= 101376 - 1024 ? SUCCESS : INVALID_VALUE;
}

CUresult cuStreamCreate(stream** made, unsigned flags) {
    BEGIN_IN_CONTEXT;
    if (flags != 1) return INVALID_VALUE;
    *made = all_streams[stream_count++] = calloc(1, sizeof **made);
    (*made)->alive = 1, live++;
    return SUCCESS;
}
CUresult cuStreamDestroy_v2(stream* s) {
    if (!s->alive) return INVALID_HANDLE;
    s->alive = 0, live--;
    return gpu.lost;
}
CUresult cuStreamSynchronize(stream* s) {
    BEGIN_IN_CONTEXT;
    return s && s->alive ? finish(s) : INVALID_HANDLE;
}
CUresult cuEventCreate(event** made, unsigned flags) {
    BEGIN_IN_CONTEXT;
    if (flags != 0) return INVALID_VALUE;
    *made = calloc(1, sizeof **made);
    (*made)->alive = 1, live++;
    return SUCCESS;
}
CUresult cuEventDestroy_v2(event* e) {
    if (!e->alive) return INVALID_HANDLE;
    e->alive = 0, live--;
    return gpu.lost;
}
CUresult cuEventRecord(event* e, stream* s) {
    BEGIN_IN_CONTEXT;
    if (!e->alive || !s->alive) return INVALID_HANDLE;
    if (s->capturing && s->capturing->invalid) return CAPTURE_INVALIDATED;
    e->captured = s->capturing, e->ends = (set){0}, e->change = s->change;
    unite(&e->ends, &s->ends);
    e->by = s, e->position = s->given;
    return SUCCESS;
}
// Half a microsecond for every piece of work between the two.
CUresult cuEventElapsedTime(float* milliseconds, event* from, event* to) {
    BEGIN_IN_CONTEXT;
    if (!from->alive || !to->alive || !from->by || from->by != to->by) return INVALID_HANDLE;
    if (from->captured || to->captured) return INVALID_HANDLE;
    if (to->by->done < to->position) return NOT_READY;
    *milliseconds = (float)(to->position - from->position) * 0.5e-3f;
    return SUCCESS;
}
CUresult cuStreamWaitEvent(stream* s, event* e, unsigned flags) {
    BEGIN_IN_CONTEXT;
    if (!e->alive || !s->alive || flags) return INVALID_HANDLE;
    if (e->captured) {
        if (e->captured->ended) return CAPTURED_EVENT;
        if (s->capturing && s->capturing != e->captured) {
            s->capturing->invalid = e->captured->invalid = 1;
            return CAPTURE_MERGE;
        }
        if (e->captured->invalid) return CAPTURE_INVALIDATED;
        // The waiting stream takes part in the capture from here on.
        s->capturing = e->captured, s->change++;
        unite(&s->ends, &e->ends);
        if (e->by != s && e->by->joined < e->change) e->by->joined = e->change;
        return SUCCESS;
    }
    if (s->capturing) {
        // Work from outside of the capture.
        s->capturing->invalid = 1;
        return CAPTURE_ISOLATION;
    }
    return e->by ? give(s, (work){.kind = WAIT, .other = e->by, .position = e->position}) : SUCCESS;
}
CUresult cuStreamBeginCapture_v2(stream* s, int mode) {
    BEGIN_IN_CONTEXT;
    if (!s->alive || mode != 1) return INVALID_VALUE;
    if (s->capturing) return forbid(s);
    s->capturing = calloc(1, sizeof(capture));
    s->capturing->graph = calloc(1, sizeof(graph)), s->capturing->origin = s, live++;
    return SUCCESS;
}
CUresult cuStreamEndCapture(stream* s, graph** made) {
    BEGIN_IN_CONTEXT;
    capture* c = s->capturing;
    if (!c || c->origin != s) return CAPTURE_UNMATCHED;
    // All nodes are reached from what the first stream waits for in the end, and every other stream was waited for after
    // its last change.
    graph* g = c->graph;
    char* reached = calloc(g->count + 1, 1);
    for (int i = 0; i < s->ends.count; i++) reached[s->ends.list[i]] = 1;
    for (int node = g->count - 1; node >= 0; node--)
        for (int i = 0; reached[node] && i < g->after[node].count; i++) reached[g->after[node].list[i]] = 1;
    CUresult result = memchr(reached, 0, g->count) ? CAPTURE_UNJOINED : SUCCESS;
    free(reached);
    for (int i = 0; i < stream_count; i++) {
        stream* other = all_streams[i];
        if (other->capturing != c) continue;
        if (other != s && other->joined < other->change) result = CAPTURE_UNJOINED;
        other->capturing = NULL, other->ends = (set){0}, other->change = other->joined = 0;
    }
    c->ended = 1;
    if (c->invalid) result = CAPTURE_INVALIDATED;
    if (result) live--;
    *made = result ? NULL : g;
    return result;
}
CUresult cuGraphInstantiateWithFlags(graph** made, graph* from, unsigned long long flags) {
    BEGIN_IN_CONTEXT;
    if (flags) return INVALID_VALUE;
    *made = calloc(1, sizeof **made);
    (*made)->list = malloc(from->count * sizeof(work) + 1), (*made)->count = from->count;
    memcpy((*made)->list, from->list, from->count * sizeof(work));
    (*made)->after = malloc(from->count * sizeof(set) + 1);
    memcpy((*made)->after, from->after, from->count * sizeof(set));
    live++;
    return SUCCESS;
}
CUresult cuGraphDestroy(graph* g) { free(g->list), free(g->after), free(g); live--; return gpu.lost; }
CUresult cuGraphExecDestroy(graph* g) {
    if (!gpu.lost) finish(NULL); // the manual: what is under way is finished first
    free(g->list), free(g->after), free(g);
    live--;
    return gpu.lost;
}
CUresult cuGraphLaunch(graph* g, stream* s) {
    BEGIN_IN_CONTEXT;
    return give(s, (work){.kind = GRAPH, .graph = g});
}
CUresult cuLaunchKernel(function* f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared, stream* s, void** parameters, void** extra) {
    BEGIN_IN_CONTEXT;
    if (!f || parameters || !extra) return INVALID_VALUE;
    if (!gx || !gy || !gz || !bx || !by || !bz || bx * by * bz > 1024 || gy > 65535 || gz > 65535) return INVALID_VALUE;
    if (shared > 101376 - 1024) return INVALID_VALUE;
    if (extra[0] != (void*)1 || extra[2] != (void*)2 || extra[4] != NULL) return INVALID_VALUE;
    size_t size = *(size_t*)extra[3];
    work w = {.kind = KERNEL, .threads = gx * gy * gz * bx * by * bz, .parameters = malloc(size + 1)};
    memcpy(w.parameters, extra[1], size);
    snprintf(w.name, sizeof w.name, "%s", f->name);
    snprintf(w.text, sizeof w.text, "%s grid %u %u %u block %u %u %u shared %u parameters %zu", f->name, gx, gy, gz, bx,
             by, bz, shared, size);
    return give(s, w);
}
