/*
 * Starts programs and times each from before its start to after its end, from inside one small process: what a Node that
 * spawns would add (a millisecond, and its garbage) is not in the numbers. Every program is started in the same way, so they
 * can be compared.
 *
 * Usage: spawn [-n ROUNDS] [-j AT_ONCE] [-o OUTPUT_FILE] [-x EXIT_CODE] -- [<INPUT_FILE] [NAME=VALUE ...] PROGRAM [ARGUMENT ...] [-- ...]
 *
 *   -n  rounds, default 1; in each every program is run, in the order given
 *   -j  children of a program that run at the same time in a round, default 1; a round of each waits for the one before
 *   -o  file that their standard output is appended to, default: nowhere. Their standard error is ours.
 *   -x  exit code that is good, default 0
 *
 * The programs follow, each after a `--`. Before its path stand, in one argument that begins with `<`, the file whose content is
 * on its standard input (in a pipe, as a runtime gives it; at most 60 KiB; none: an empty pipe), and its whole environment
 * (nothing is inherited). In a variable and in an argument `%r` is the number of the round, from 0, and `%j` that of the child in
 * it, so that each call can be another container's. One program may stand there more than once: ADD, then DEL.
 *
 * Standard output: a line for each child, `PROGRAM_INDEX NANOSECONDS`. Exit code 0; 1 when a child ended in another way than
 * wanted, which standard error tells.
 *
 * With -j greater than 1 a child's time begins with its own start and ends when this process has noticed its end.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROGRAMS = 16, CHILDREN = 256, INPUT_BYTES = 60 << 10, WORD_BYTES = 4096 };
struct program { char **environment, **arguments, *input; int variables, count; size_t input_size; };
struct child { pid_t pid; long long started; };

static int out, exit_code;

static void fail(const char *what) { perror(what); exit(1); }

static long long now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* `%r` and `%j` in a word. */
static char *fill(const char *word, int round, int at)
{
	char *to = malloc(WORD_BYTES), *end = to;
	if (strlen(word) > WORD_BYTES / 2) { free(to); return strdup(word); }
	for (; *word != 0; word++) {
		if (word[0] == '%' && (word[1] == 'r' || word[1] == 'j')) end += sprintf(end, "%d", *++word == 'r' ? round : at);
		else *end++ = *word;
	}
	*end = 0;
	return to;
}

static char **fill_all(char **words, int count, int round, int at)
{
	char **filled = calloc(count + 1, sizeof *filled);
	for (int i = 0; i < count; i++) filled[i] = fill(words[i], round, at);
	return filled;
}

static void release(char **words)
{
	for (char **word = words; *word != NULL; word++) free(*word);
	free(words);
}

static struct child start(const struct program *program, int round, int at)
{
	posix_spawn_file_actions_t actions;
	int pipe_ends[2];
	struct child child;
	char **arguments = fill_all(program->arguments, program->count, round, at);
	char **environment = fill_all(program->environment, program->variables, round, at);
	if (pipe2(pipe_ends, O_CLOEXEC) != 0) fail("pipe2");
	/* It fits into the pipe, so nobody has to go on writing while the child runs. */
	if (write(pipe_ends[1], program->input, program->input_size) != (ssize_t)program->input_size) fail("write");
	close(pipe_ends[1]);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipe_ends[0], 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	child.started = now();
	if (posix_spawn(&child.pid, arguments[0], &actions, NULL, arguments, environment) != 0) fail(arguments[0]);
	posix_spawn_file_actions_destroy(&actions);
	close(pipe_ends[0]);
	release(arguments);
	release(environment);
	return child;
}

static void run(const struct program *program, int index, int round, int at_once)
{
	struct child children[CHILDREN];
	for (int i = 0; i < at_once; i++) children[i] = start(program, round, i);
	for (int left = at_once; left > 0;) {
		int status;
		pid_t ended = wait(&status);
		long long end = now();
		for (int i = 0; i < at_once; i++) {
			if (children[i].pid != ended) continue;
			printf("%d %lld\n", index, end - children[i].started);
			left--;
		}
		if (WIFEXITED(status) && WEXITSTATUS(status) == exit_code) continue;
		fprintf(stderr, "spawn: %s ended with status %#x in round %d\n", program->arguments[0], status, round);
		exit(1);
	}
}

static void read_input(struct program *program, const char *path)
{
	FILE *file = fopen(path, "re");
	if (file == NULL) fail(path);
	program->input = malloc(INPUT_BYTES);
	program->input_size = fread(program->input, 1, INPUT_BYTES, file);
	if (program->input_size == INPUT_BYTES) { fprintf(stderr, "spawn: %s does not fit into a pipe\n", path); exit(1); }
	fclose(file);
}

int main(int argc, char **argv)
{
	static struct program programs[PROGRAMS];
	int rounds = 1, at_once = 1, count = 0, option;
	const char *output = "/dev/null";
	while ((option = getopt(argc, argv, "+n:j:o:x:")) != -1) {
		if (option == 'n') rounds = atoi(optarg);
		else if (option == 'j') at_once = atoi(optarg);
		else if (option == 'o') output = optarg;
		else if (option == 'x') exit_code = atoi(optarg);
		else return 1;
	}
	for (int i = optind; i < argc && count < PROGRAMS; i++, count++) {
		struct program *program = &programs[count];
		if (argv[i][0] == '<') read_input(program, argv[i++] + 1);
		program->environment = argv + i;
		/* A variable's name has no slash; a program's path has one. */
		while (i < argc && strchr(argv[i], '=') != NULL && *argv[i] != '/') program->variables++, i++;
		program->arguments = argv + i;
		while (i < argc && strcmp(argv[i], "--") != 0) program->count++, i++;
		if (program->count == 0) { fprintf(stderr, "spawn: no program after its variables\n"); return 1; }
	}
	if (count == 0 || at_once < 1 || at_once > CHILDREN) { fprintf(stderr, "spawn: see its head for how to call it\n"); return 1; }
	if ((out = open(output, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600)) < 0) fail(output);
	for (int round = 0; round < rounds; round++)
		for (int i = 0; i < count; i++) run(&programs[i], i, round, at_once);
	return 0;
}
