// For the compiler that checks types alone: the script is no module before it is served.
declare const uPlot: any;
export default uPlot;
