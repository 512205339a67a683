/*
 * Starts a program as no well-meaning parent would. Usage: starter PROGRAM [-n] [-a NAME | -A] [VARIABLE ...]
 * -n: standard input and output are non-blocking; -a: its argv[0]; -A: no arguments at all. The variables are its environment as
 * they stand here, doubles and all.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char *arguments[2] = { argv[1], NULL };
	int next = 2;
	if (argc > next && strcmp(argv[next], "-n") == 0) {
		next++;
		for (int fd = 0; fd < 2; fd++) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	}
	if (argc > next && strcmp(argv[next], "-A") == 0) arguments[0] = NULL, next += 1;
	else if (argc > next + 1 && strcmp(argv[next], "-a") == 0) arguments[0] = argv[next + 1], next += 2;
	execve(argv[1], arguments, argv + next);
	return 1;
}
