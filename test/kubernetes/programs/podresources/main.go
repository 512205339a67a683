// Command podresources answers at the socket where kubelet tells which devices its pods have.
//
//	podresources SOCKET FILE
//
// FILE holds what kubelet would answer, in the JSON form of its protocol, and is read again for every question.
package main

import (
	"context"
	"log"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"k8s.io/kubelet/pkg/apis/podresources/v1"
)

type lister struct {
	v1.UnimplementedPodResourcesListerServer
	file string
}

func (l *lister) List(context.Context, *v1.ListPodResourcesRequest) (*v1.ListPodResourcesResponse, error) {
	text, err := os.ReadFile(l.file)
	if err != nil {
		return nil, err
	}
	response := &v1.ListPodResourcesResponse{}
	return response, protojson.Unmarshal(text, response)
}

func main() {
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	v1.RegisterPodResourcesListerServer(server, &lister{file: os.Args[2]})
	log.Fatal(server.Serve(listener))
}
