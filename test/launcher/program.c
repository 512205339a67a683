/*
 * Stands for the packaged program. Standard output: argc, the number of variables, argv[0] and the variables, each with a zero byte
 * behind it; then what is on standard input. Exit code 42.
 */
#include <stdio.h>

extern char **environ;

int main(int argc, char **argv)
{
	int byte, variables = 0;
	while (environ[variables] != NULL) variables++;
	printf("%d%c%d%c%s%c", argc, 0, variables, 0, argc > 0 ? argv[0] : "", 0);
	for (int i = 0; i < variables; i++) printf("%s%c", environ[i], 0);
	while ((byte = getchar()) != EOF) putchar(byte);
	return 42;
}
