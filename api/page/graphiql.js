// Queries go by HTTP, subscriptions by websocket, both to this server.

const fetcher = GraphiQL.createFetcher({
  url: "/graphql",
  wsClient: graphqlWs.createClient({ url: `wss://${location.host}/graphql/ws` }),
});
const defaultQuery = `# What was registered last? Press Ctrl-Enter to ask.
{
  watermark { position blockNumber }
  states(last: 10) {
    nodes { stateName sequence block { number timestampS } verdict { status } }
  }
}
`;
ReactDOM.createRoot(document.getElementById("graphiql")).render(React.createElement(GraphiQL, { fetcher, defaultQuery }));
