/* A Vulkan layer between the program and any driver, that makes a device fail as drivers do:

     FAULT_SUBMIT=N   the submission after N of them is refused, for the device is lost
     FAULT_WAIT=N     they are taken, but the wait for the one after N of them ends with the loss
     FAULT_MEMORY=N   no more than N bytes of memory are given

   The prototypes are those of the Vulkan specification and of its loader's interface to layers, with what is not looked at left
   opaque, so that no header is needed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, OUT_OF_DEVICE_MEMORY = -2, DEVICE_LOST = -4, INITIALIZATION_FAILED = -3 };
enum { LOADER_INSTANCE_CREATE_INFO = 47, LOADER_DEVICE_CREATE_INFO = 48, LINK = 0 };

typedef void (*Function)(void);
typedef Function (*Lookup)(void *object, const char *name);

struct Layer { struct Layer *next; Lookup of_instance, of_device; };
struct Info { int type; const struct Info *next; int kind; struct Layer *layer; };
struct Allocation { int type; const void *next; uint64_t bytes; uint32_t memory_type; };

static Lookup of_instance, of_device;
static int (*next_submit)(void *queue, uint32_t count, const void *submissions, uint64_t fence);
static int (*next_wait)(void *device, const void *info, uint64_t timeout);
static int (*next_wait_fences)(void *device, uint32_t count, const uint64_t *fences, uint32_t all, uint64_t timeout);
static int (*next_allocate)(void *device, const struct Allocation *, const void *allocator, uint64_t *memory);
static uint64_t submitted, allocated;

static uint64_t limit(const char *name) {
    const char *value = getenv(name);
    return value ? strtoull(value, 0, 10) : UINT64_MAX;
}

static int submit(void *queue, uint32_t count, const void *submissions, uint64_t fence) {
    if (submitted >= limit("FAULT_SUBMIT")) return DEVICE_LOST;
    submitted++;
    return next_submit(queue, count, submissions, fence);
}

static int wait(void *device, const void *info, uint64_t timeout) {
    return submitted > limit("FAULT_WAIT") ? DEVICE_LOST : next_wait(device, info, timeout);
}

static int wait_fences(void *device, uint32_t count, const uint64_t *fences, uint32_t all, uint64_t timeout) {
    return submitted > limit("FAULT_WAIT") ? DEVICE_LOST : next_wait_fences(device, count, fences, all, timeout);
}

static int allocate(void *device, const struct Allocation *what, const void *allocator, uint64_t *memory) {
    if (allocated + what->bytes > limit("FAULT_MEMORY")) return OUT_OF_DEVICE_MEMORY;
    allocated += what->bytes;
    return next_allocate(device, what, allocator, memory);
}

/* What the loader says of the layer below this one; the layer below that is next then. */
static struct Layer *below(const struct Info *info, int type) {
    while (info && !(info->type == type && info->kind == LINK)) info = info->next;
    if (!info) return 0;
    struct Layer *layer = info->layer;
    ((struct Info *)info)->layer = layer->next;
    return layer;
}

static int create_instance(const struct Info *info, const void *allocator, void **instance) {
    struct Layer *layer = below(info->next, LOADER_INSTANCE_CREATE_INFO);
    if (!layer) return INITIALIZATION_FAILED;
    of_instance = layer->of_instance;
    return ((int (*)(const struct Info *, const void *, void **))of_instance(0, "vkCreateInstance"))(info, allocator, instance);
}

static int create_device(void *adapter, const struct Info *info, const void *allocator, void **device) {
    struct Layer *layer = below(info->next, LOADER_DEVICE_CREATE_INFO);
    if (!layer) return INITIALIZATION_FAILED;
    of_device = layer->of_device;
    Function create = layer->of_instance(0, "vkCreateDevice");
    int result = ((int (*)(void *, const struct Info *, const void *, void **))create)(adapter, info, allocator, device);
    if (result != SUCCESS) return result;
    next_submit = (int (*)(void *, uint32_t, const void *, uint64_t))of_device(*device, "vkQueueSubmit");
    next_wait = (int (*)(void *, const void *, uint64_t))of_device(*device, "vkWaitSemaphores");
    next_wait_fences =
        (int (*)(void *, uint32_t, const uint64_t *, uint32_t, uint64_t))of_device(*device, "vkWaitForFences");
    next_allocate = (int (*)(void *, const struct Allocation *, const void *, uint64_t *))of_device(*device, "vkAllocateMemory");
    return SUCCESS;
}

Function fault_of_instance(void *instance, const char *name);
Function fault_of_device(void *device, const char *name);

static Function own(const char *name) {
    static const struct { const char *name; Function function; } functions[] = {
        { "vkGetInstanceProcAddr", (Function)fault_of_instance },
        { "vkGetDeviceProcAddr", (Function)fault_of_device },
        { "vkCreateInstance", (Function)create_instance },
        { "vkCreateDevice", (Function)create_device },
        { "vkQueueSubmit", (Function)submit },
        { "vkWaitSemaphores", (Function)wait },
        { "vkWaitForFences", (Function)wait_fences },
        { "vkAllocateMemory", (Function)allocate },
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (!strcmp(name, functions[i].name)) return functions[i].function;
    return 0;
}

Function fault_of_instance(void *instance, const char *name) {
    Function function = own(name);
    return function ? function : of_instance(instance, name);
}

Function fault_of_device(void *device, const char *name) {
    Function function = own(name);
    return function ? function : of_device(device, name);
}
