/*
 * The launcher: what a container runtime executes as a CNI plugin. It hands the call to the agent over a unix socket, or becomes
 * the packaged program, `berth` in its own folder, when no agent answers (agent/PROTOCOL.md). No library, no heap: it starts as
 * fast as the kernel can start anything, and runs beside any libc (docs/decisions/009-launcher.md).
 *
 * Exit codes: the agent's, or the packaged program's where that takes its place, and 1
 *   with CNI error 11   nobody knows what became of the call: the answer is lost, late, or not of the protocol
 *   with CNI error 5    the packaged program cannot be executed, nothing was done
 *   with no output      standard output cannot be written
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Limits. The hello's time is each socket's own, the answer's begins with the request. Tests change times and folders. */
enum { HEAD_BYTES = 16 << 10, INPUT_BYTES = 1 << 20, OUTPUT_BYTES = 1 << 20, PATH_BYTES = 4096, FRAME_HEAD = 8 };
#ifndef HELLO_MS
#define HELLO_MS 250
#define REPLY_MS 60000
#define RUN_DIR "/run/berth"
#define DATA_DIR "/var/lib/cni/berth"
#endif

/* The kernel's interface, which never changes: no header is needed. A call that fails returns the negated error number. */
enum { EINTR = 4, EAGAIN = 11, AT_EUID = 12, AT_EXECFN = 31, AT_FDCWD = -100, POLLIN = 1, POLLOUT = 4, MFD_CLOEXEC = 1,
	AF_UNIX = 1, STREAM_NONBLOCK_CLOEXEC = 1 | 04000 | 02000000, SOL_SOCKET = 1, SO_PEERCRED = 17, MSG_NOSIGNAL = 0x4000 };
#define CALL(...) CALL_(__VA_ARGS__, 0, 0, 0, 0, 0)
#define CALL_(number, a, b, c, d, e, ...) \
	({ long done; do done = kernel(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e)); while (done == -EINTR); done; })
#if defined __x86_64__
enum { READ = 0, WRITE = 1, CLOSE = 3, LSEEK = 8, SOCKET = 41, CONNECT = 42, SENDTO = 44, RECVFROM = 45, GETSOCKOPT = 55,
	EXECVE = 59, EXIT_GROUP = 231, READLINKAT = 267, PPOLL = 271, DUP3 = 292, MEMFD_CREATE = 319 };
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call start\n");
static long kernel(long number, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e;
	__asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	return number;
}
#elif defined __aarch64__
enum { READ = 63, WRITE = 64, CLOSE = 57, LSEEK = 62, SOCKET = 198, CONNECT = 203, SENDTO = 206, RECVFROM = 207, GETSOCKOPT = 209,
	EXECVE = 221, EXIT_GROUP = 94, READLINKAT = 78, PPOLL = 73, DUP3 = 24, MEMFD_CREATE = 279 };
__asm__(".globl _start\n_start: mov x29, #0\n mov x30, #0\n mov x0, sp\n bl start\n");
static long kernel(long number, long a, long b, long c, long d, long e)
{
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c, x3 __asm__("x3") = d, x4 __asm__("x4") = e;
	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
}
#endif

/* All memory, each from the start of a page: a usual call touches one page of either, and only what is touched exists. */
_Alignas(4096) static struct {
	char **argv, **envp, *executed; /* the last is the path that the kernel was given */
	uint32_t uid, input_size;
	struct { uint16_t family; char path[108]; } address;
	struct { uint32_t size, head_size; char bytes[HEAD_BYTES + INPUT_BYTES + 1]; } request;
} call;
_Alignas(4096) static struct { uint32_t size; uint8_t declined, exit_code; uint16_t zero; char output[OUTPUT_BYTES]; } reply;
_Static_assert(sizeof reply == FRAME_HEAD + OUTPUT_BYTES && offsetof(__typeof__(call.request), bytes) == FRAME_HEAD, "no gaps");
struct span { long seconds, nanoseconds; };

/* What follows the last slash. */
static char *base(char *path)
{
	char *name = path;
	while (*path != 0) if (*path++ == '/') name = path;
	return name;
}

/* What follows `start` in `text`, or NULL. */
static char *after(char *text, const char *start)
{
	for (; *start != 0; text++, start++) if (*text != *start) return NULL;
	return text;
}

/* Copies a text with the zero byte at its end, and returns where that is. */
static char *put(char *to, const char *text)
{
	while ((*to = *text++) != 0) to++;
	return to;
}

/* Waits until `fd` is ready; false when the time is up. ppoll takes off `left` what it waited: one span serves many waits. */
static bool wait_for(int fd, short events, struct span *left)
{
	struct { int fd; short events, revents; } one = { fd, events, 0 };
	return CALL(PPOLL, &one, 1, left) > 0;
}

/* A read or write of a file or a stream that may be a non-blocking one. */
static long transfer(long read_or_write, int fd, const char *bytes, size_t size)
{
	long done;
	while ((done = CALL(read_or_write, fd, bytes, size)) == -EAGAIN) wait_for(fd, read_or_write == READ ? POLLIN : POLLOUT, NULL);
	return done;
}

static bool write_all(int fd, const char *bytes, size_t size)
{
	for (long done; size > 0; bytes += done, size -= done) if ((done = transfer(WRITE, fd, bytes, size)) <= 0) return false;
	return true;
}

static _Noreturn void answer(const char *output, size_t size, int code)
{
	code = write_all(1, output, size) ? code : 1;
	for (;;) CALL(EXIT_GROUP, code);
}

/* A CNI error (shared/cni/errors.ts): `what "path": why`, and `error` if any. What JSON would escape in a path becomes "?". */
static _Noreturn void fail(const char *code, const char *what, const char *path, const char *why, long error)
{
	char digits[] = "\0\0\0\0\0\0", *digit = digits + sizeof digits - 1;
	for (; error > 0 && digit > digits; error /= 10) *--digit = '0' + error % 10;
	char *to = put(put(put(reply.output, "{\"cniVersion\":\"1.1.0\",\"code\":"), code), ",\"msg\":\"");
	to = put(put(to, what), " \\\"");
	for (; *path != 0; path++) *to++ = (unsigned char)*path < ' ' || *path == '"' || *path == '\\' ? '?' : *path;
	to = put(put(put(put(to, "\\\": "), why), digit), "\"}");
	answer(reply.output, to - reply.output, 1);
}

/* Becomes the packaged program, under the name, with the environment and the standard input that this one was given. */
static _Noreturn void become_program(void)
{
	static char path[PATH_BYTES + sizeof "berth"], libraries[PATH_BYTES + sizeof "lib"], loader[PATH_BYTES + sizeof "lib/ld.so"];
	if (call.input_size > 0) {
		/* What was read it gets again, and with it what is still to come of an input that is too large. */
		long fd = CALL(MEMFD_CREATE, "berth", MFD_CLOEXEC), more = call.input_size;
		bool kept = write_all(fd, call.request.bytes + call.request.head_size, more);
		while (kept && call.input_size > INPUT_BYTES && (more = transfer(READ, 0, reply.output, OUTPUT_BYTES)) > 0)
			kept = write_all(fd, reply.output, more);
		if (!kept || more < 0 || CALL(LSEEK, fd, 0, 0) < 0 || CALL(DUP3, fd, 0, 0) < 0)
			fail("5", "Cannot keep the input for", "berth", "it cannot be read or written", 0);
	}
	/* Without /proc there is what was executed, as the caller wrote it; the kernel takes no longer one. */
	if (CALL(READLINKAT, AT_FDCWD, "/proc/self/exe", path, PATH_BYTES) <= 0) put(path, call.executed);
	put(base(path), "berth");
	char *rest = after(base(call.executed), "berth"); /* A launcher installed under that name would execute itself for ever. */
	if (rest != NULL && *rest == 0) fail("5", "Cannot execute", path, "it is the launcher, not the packaged program", 0);
	/* Libraries beside the program come with their own loader, and nothing of the node is needed; without them it takes the node's. */
	put(put(libraries, path) - (sizeof "berth" - 1), "lib"), put(put(loader, libraries), "/ld.so");
	char *loaded[] = { loader, "--argv0", call.argv[0], "--library-path", libraries, path, NULL };
	if (call.argv[0] != NULL) CALL(EXECVE, loader, loaded, call.envp);
	fail("5", "Cannot execute", path, "error number ", -CALL(EXECVE, path, call.argv, call.envp));
}

/* More of what the agent says: how many bytes, -EAGAIN when the time is up; anything else below 1 is the end of the connection. */
static long receive(int agent, void *to, size_t room, struct span *left)
{
	return wait_for(agent, POLLIN, left) ? CALL(RECVFROM, agent, to, room) : -EAGAIN;
}

/* A connection to the agent of a directory, when it has said the hello of this protocol, or -1. */
static int connect_to(const char *directory)
{
	struct { uint32_t pid, uid, gid; } peer;
	struct span left = { HELLO_MS / 1000, HELLO_MS % 1000 * 1000000L };
	uint32_t peer_size = sizeof peer, same = 0;
	char hello[8];
	size_t size = 0;
	while (directory[size] != 0) size++;
	/* What the kernel cannot be asked for, no agent listens at. */
	if (size + sizeof "/agent.sock" > sizeof call.address.path) return -1;
	call.address.family = AF_UNIX;
	long address_size = put(put(call.address.path, directory), "/agent.sock") + 1 - (char *)&call.address;
	/* Not blocking: the queue of an agent that is stopped may be full, and connect would wait for ever. */
	int agent = CALL(SOCKET, AF_UNIX, STREAM_NONBLOCK_CLOEXEC);
	/* No socket to be had, or it is in the place of a standard stream that is closed: the program knows what to say about that. */
	if (agent < 3) become_program();
	/* Who listens decides what the pod gets: only root, or who could do all of this without us. */
	bool good = CALL(CONNECT, agent, &call.address, address_size) == 0
		&& CALL(GETSOCKOPT, agent, SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) == 0 && (peer.uid == 0 || peer.uid == call.uid);
	while (good && same < sizeof hello) {
		long more = receive(agent, hello + same, sizeof hello - same, &left);
		good = more > 0;
		for (; good && more > 0; more--, same++) good = hello[same] == "berth\0\1"[same];
	}
	if (!good) CALL(CLOSE, agent);
	return good ? agent : -1;
}

/* Sends the request and passes the answer on. Until its first byte is sent there is a way back; after that none. */
static _Noreturn void ask(int agent)
{
	static const char what[] = "Cannot tell what became of the call to the agent at", late[] = "no answer in time";
	struct span left = { REPLY_MS / 1000, REPLY_MS % 1000 * 1000000L };
	size_t sent = 0, got = 0, all = FRAME_HEAD + call.request.head_size + call.input_size;
	call.request.size = all - FRAME_HEAD;
	while (sent < all) {
		long size = CALL(SENDTO, agent, (char *)&call.request + sent, all - sent, MSG_NOSIGNAL);
		if (size > 0) sent += size;
		else if (size != -EAGAIN && sent == 0) become_program();
		else if (size != -EAGAIN) break; /* It may have answered before it went. */
		else if (!wait_for(agent, POLLOUT, &left)) fail("11", what, call.address.path, late, 0);
	}
	while (got < FRAME_HEAD || got < FRAME_HEAD + (size_t)reply.size) {
		long size = receive(agent, (char *)&reply + got, sizeof reply - got, &left);
		if (size <= 0) fail("11", what, call.address.path, size == -EAGAIN ? late : "it ended the connection before that", 0);
		got += size;
		if (got >= FRAME_HEAD && (reply.size > OUTPUT_BYTES || reply.declined > 1 || reply.zero != 0))
			fail("11", what, call.address.path, "its answer is not of this protocol", 0);
		if (got >= FRAME_HEAD && reply.declined) become_program();
	}
	answer(reply.output, reply.size, reply.exit_code);
}

/* Adds a text to the request's head; false when there is no room. */
static bool add_to_head(const char *text)
{
	do if (call.request.head_size == HEAD_BYTES) return false;
	while ((call.request.bytes[call.request.head_size++] = *text++) != 0);
	return true;
}

__attribute__((used)) _Noreturn void start(long *stack)
{
	char *verb = NULL, *data_dir = NULL;
	call.argv = (char **)(stack + 1);
	char **variable = call.envp = call.argv + stack[0] + 1;
	/* The program judges what cannot be asked: a call without a name, without a verb (about itself), or with too large a head. */
	bool asks = stack[0] > 0 && add_to_head(base(call.argv[0])) && call.request.head_size > 1;
	for (; *variable != NULL; variable++) {
		/* As getenv does: the first of a name counts. */
		if (verb == NULL) verb = after(*variable, "CNI_COMMAND=");
		if (data_dir == NULL) data_dir = after(*variable, "BERTH_DATA_DIR=");
		char *equals = after(*variable, "CNI_");
		while (equals != NULL && *equals != '=') equals = *equals == 0 ? NULL : equals + 1;
		if (equals != NULL) asks = asks && add_to_head(*variable);
	}
	for (long *auxiliary = (long *)(variable + 1); auxiliary[0] != 0; auxiliary += 2) {
		if (auxiliary[0] == AT_EUID) call.uid = auxiliary[1];
		if (auxiliary[0] == AT_EXECFN) call.executed = (char *)auxiliary[1];
	}
	if (!asks || verb == NULL || *verb == 0) become_program();
	/* Of another directory than its own an agent is of no use. */
	if (data_dir == NULL || *data_dir == 0) data_dir = DATA_DIR;
	char *rest = after(data_dir, DATA_DIR);
	int agent = rest != NULL && *rest == 0 ? connect_to(RUN_DIR) : -1;
	if (agent < 0 && (agent = connect_to(data_dir)) < 0) become_program();
	for (long size = 1; size > 0 && call.input_size <= INPUT_BYTES; call.input_size += size) {
		char *end = call.request.bytes + call.request.head_size + call.input_size;
		size = transfer(READ, 0, end, INPUT_BYTES + 1 - call.input_size);
		if (size < 0) become_program();
	}
	if (call.input_size > INPUT_BYTES) become_program();
	ask(agent);
}
